.git
.venv
outputs
**/__pycache__
