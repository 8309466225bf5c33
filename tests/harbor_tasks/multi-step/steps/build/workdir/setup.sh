#!/bin/bash
echo ready > /tmp/ready
