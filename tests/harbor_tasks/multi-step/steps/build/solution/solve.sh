#!/bin/bash
echo $(($(paste -sd '*' factors.txt))) > product.txt
