ARG BASE_IMAGE=$base_image
FROM $${BASE_IMAGE}
${install}COPY sidecar.py episode.json /opt/openenv/
CMD ["python3", "-I", "/opt/openenv/sidecar.py", "serve"]
