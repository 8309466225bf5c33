#!/bin/bash
cp given.txt taken.txt
