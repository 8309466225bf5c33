COPY ${packages} /opt/openenv/packages
RUN python3 -m venv /opt/openenv/venv && /opt/openenv/venv/bin/pip install --no-cache-dir -r /opt/openenv/packages/requirements.txt
