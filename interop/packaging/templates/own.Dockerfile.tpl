# The task's own image.
$stages
# The hub, which stands beside all that is the task's.
FROM $stage AS interop-build
SHELL ["/bin/sh", "-c"]
RUN printf '%s:%s\n' "$$(id -u)" "$$(id -g)" > /tmp/interop-user
USER root
RUN python3 -I -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 12))' \
 || { echo "this image needs Python 3.12 or newer as python3, with venv, for the hub: let the task's Dockerfile install it, or begin with another BASE_IMAGE" >&2; exit 1; }
COPY packages $place
# Compiled files that depend on nothing but their sources: two builds give equal files.
RUN python3 -I -m venv $home/.venv \
 && $home/.venv/bin/pip install --no-cache-dir --no-compile -r $place/requirements.txt -c $place/lock.txt \
 && $home/.venv/bin/pip uninstall --quiet --yes pip \
 && $home/.venv/bin/python -I -m compileall -q -f -j 0 --invalidation-mode unchecked-hash $home/.venv/lib
COPY __init__.py client.py models.py openenv.yaml pyproject.toml README.md $home/env/
COPY server $home/env/server
RUN mv /tmp/interop-user $home/user && chmod -R a+rX $home/env
# Tests and all else that is not the agent's: for root alone.
${copies}RUN chmod 700 $home/env/source

FROM $stage
LABEL org.opencontainers.image.title=$quoted_title \
      org.opencontainers.image.description=$label \
      org.opencontainers.image.version="0.1.0"
# The server is root, so that it can give each command the user that the task has for it.
USER root
COPY --from=interop-build $home $home
ENV INTEROP_SANDBOX=inplace INTEROP_USER=$home/user
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["$home/.venv/bin/python", "-I", "-c", "import urllib.request as it; it.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# By its path: PATH, PYTHONPATH and the working directory are the task's.
CMD ["$home/.venv/bin/python", "-I", "-u", "-B", "$home/env/server/app.py"]
