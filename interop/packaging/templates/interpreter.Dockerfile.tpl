# The environment's own interpreter, which has nothing of the hub.
${copy}RUN python3 -m venv /app/python \
 && /app/python/bin/pip install --no-cache-dir --no-compile -r $place/environment.txt -c $place/environment.lock.txt \
 && /app/python/bin/pip uninstall --quiet --yes pip \
 && python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash /app/python/lib
