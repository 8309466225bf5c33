#!/bin/bash
python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8765/token").read().decode())' > token.txt
