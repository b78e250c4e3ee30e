# LSTMega in a container, with the shipped weights. `docker compose up --build --detach` builds and starts it.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE train.py ./
COPY bot bot
COPY generator generator
COPY weights weights
# Of the weights the version that CURRENT names is enough; others can be mounted.
RUN find weights -mindepth 1 -maxdepth 1 -type d ! -name "$(cat weights/CURRENT)" -exec rm -r {} + && \
    python -m venv --without-pip /opt/lstmega && \
    pip --python /opt/lstmega/bin/python install --no-cache-dir --only-binary :all: --no-binary lstmega . && \
    find /opt/lstmega -path '*/site-packages/*/tests' -prune -exec rm -r {} + && \
    # The locales of the languages in bot/core/locales, of more than a thousand.
    find /opt/lstmega -path '*/babel/locale-data/*' ! -name root.dat ! -name 'en*' ! -name 'pt*' -delete && \
    # The same code as in Python's extension module once more, for programs in C.
    rm -f /opt/lstmega/lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so.*
# Fails if anything is missing.
RUN /opt/lstmega/bin/lstmega generate --length 80 --seed 1

FROM python:3.13-slim
RUN install --directory --owner 10001 --group 10001 --mode 700 /var/lib/lstmega
COPY --from=build /opt/lstmega /opt/lstmega
# HTTP__HOST: of the container alone, until a port is published. FAULTHANDLER: SIGABRT writes where each thread is.
ENV PATH=/opt/lstmega/bin:$PATH \
    XDG_STATE_HOME=/var/lib \
    LSTMEGA_HTTP__HOST=0.0.0.0 \
    PYTHONFAULTHANDLER=1
# A config.toml that is mounted here is read.
WORKDIR /etc/lstmega
USER 10001:10001
VOLUME /var/lib/lstmega
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8080, timeout=8); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["lstmega"]
CMD ["run"]
