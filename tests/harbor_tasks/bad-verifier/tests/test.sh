#!/bin/bash
echo 'the grader is not at home' >&2
exit 1
