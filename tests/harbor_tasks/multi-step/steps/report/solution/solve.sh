#!/bin/bash
echo "$(cat plan.txt) $(cat product.txt)" > report.txt
