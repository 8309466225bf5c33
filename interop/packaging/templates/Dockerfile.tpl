ARG BASE_IMAGE=$base_image
FROM $${BASE_IMAGE} AS build
COPY packages $place
# Compiled files that depend on nothing but their sources: two builds give equal files.
RUN python3 -m venv /app/.venv \
 && /app/.venv/bin/pip install --no-cache-dir --no-compile -r $place/requirements.txt -c $place/lock.txt \
 && /app/.venv/bin/pip uninstall --quiet --yes pip \
 && python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /app/.venv/lib
${interpreter}COPY __init__.py client.py models.py openenv.yaml pyproject.toml README.md /app/env/
COPY server /app/env/server
RUN chmod -R a+rX /app/env

FROM $${BASE_IMAGE}
LABEL org.opencontainers.image.title=$quoted_title \
      org.opencontainers.image.description=$label \
      org.opencontainers.image.version="0.1.0"
COPY --from=build /app/.venv /app/.venv
${has_interpreter}COPY --from=build /app/env /app/env
WORKDIR /app/env
ENV PATH="/app/.venv/bin:$${PATH}" PYTHONPATH=/app/env PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", "import urllib.request as it; it.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "server.app"]
