COPY --from=build /app/python /app/python
ENV INTEROP_PYTHON=/app/python/bin/python
