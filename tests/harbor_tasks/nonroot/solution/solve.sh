#!/bin/bash
id -un > who.txt
if cat /opt/hidden.txt; then echo read; else echo denied; fi > hidden.txt
