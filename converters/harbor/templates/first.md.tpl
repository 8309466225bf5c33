
## What you see first

$text
