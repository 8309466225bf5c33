ARG BASE_IMAGE=$base_image
FROM $${BASE_IMAGE}
RUN useradd --create-home agent && mkdir -p /app && chown agent:agent /app
${install}COPY openenv/sidecar.py openenv/episode.json /opt/openenv/
RUN chmod 600 /opt/openenv/episode.json
WORKDIR /app
