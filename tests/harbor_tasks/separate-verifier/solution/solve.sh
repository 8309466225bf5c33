#!/bin/bash
echo 'six by nine' > scratch.txt
echo 42 > answer.txt
