The environment is `$source`, served inside. Its image installs `environment/openenv/packages/requirements.txt` at build
time. Images begin with `BASE_IMAGE`, which must have Python 3.12 or newer as `python3`, with `venv`, and bash.
