#!/bin/bash
echo multiply > plan.txt
