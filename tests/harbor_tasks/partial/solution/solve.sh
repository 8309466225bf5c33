#!/bin/bash
printf '%s\n' 2 4 6 8 > even.txt
