# The server alone: no database (MONGODB_URI says where that is), no tests, no tools.
# Python 3.11 is the version that the tests run on.
FROM python:3.11-slim AS packages
COPY requirements-s3.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --only-binary :all: --requirement requirements-s3.txt \
    && /opt/venv/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --no-create-home cohort \
    && install --directory --owner=cohort /data /data/media
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY . .
# Compiled once here, since the running server may write nowhere but in /data.
RUN python -m compileall -q /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    ADDRESS=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    LOG_FORMAT=json
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
# The list form makes the server process 1, so that SIGTERM reaches it. It then gives notice (5 s), finishes requests
# (30 s), pushes and mails (15 s each): give it `docker stop --time 75`, or whatever the orchestrator calls that.
CMD ["python", "server.py"]
