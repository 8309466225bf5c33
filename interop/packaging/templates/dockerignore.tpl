.git
.venv
outputs
**/__pycache__
$ignored