# The image of py-image-dedup: docs/containers.md. To pin the base as well: --build-arg PYTHON=python@sha256:...
ARG PYTHON=python:3.13-slim-trixie

FROM ${PYTHON} AS build
WORKDIR /src
COPY contrib/containers/requirements.txt contrib/containers/build-requirements.txt ./
# Wheels alone, with known hashes: nothing is compiled, on amd64 and arm64 alike.
RUN pip install --no-cache-dir --require-hashes --only-binary :all: --requirement build-requirements.txt
RUN python -m venv --without-pip /opt/py-image-dedup
RUN pip --python /opt/py-image-dedup install --no-cache-dir --require-hashes --only-binary :all: \
    --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY py_image_dedup py_image_dedup
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels .
RUN pip --python /opt/py-image-dedup install --no-cache-dir --no-deps wheels/*.whl

FROM ${PYTHON}
COPY --from=build /opt/py-image-dedup /opt/py-image-dedup
COPY contrib/containers/entrypoint contrib/containers/healthcheck /usr/local/bin/
# What is searched where nothing else is configured.
COPY contrib/containers/py_image_dedup.yaml /etc/xdg/py_image_dedup.yaml
# A configuration file that is mounted here comes first, as with py-image-dedup 2.
WORKDIR /app
# What must outlive the container is on a volume, whatever else is configured.
ENV PATH=/opt/py-image-dedup/bin:$PATH \
    PUID=1000 \
    PGID=1000 \
    HOME=/data/state \
    TMPDIR=/data/state \
    XDG_CONFIG_HOME=/etc/xdg \
    PY_IMAGE_DEDUP_STATE_DIRECTORY=/data/state \
    PY_IMAGE_DEDUP_DATABASE=/data/state/signatures.sqlite \
    PY_IMAGE_DEDUP_ORIGIN=container \
    PY_IMAGE_DEDUP_STATS_HOST=0.0.0.0
VOLUME /data/state
EXPOSE 8000
HEALTHCHECK --interval=1m --timeout=10s --start-period=1m CMD healthcheck
ENTRYPOINT ["entrypoint"]
CMD ["daemon"]
