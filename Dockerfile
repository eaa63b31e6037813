# syntax=docker/dockerfile:1
# Operator and archive worker in one image.
#
#   docker build -t together-operator .
#   buildah bud --isolation chroot -t together-operator .
#
# BASE_IMAGE needs Python >= 3.11 and CA certificates, and no shell, pip or compiler: the default has a
# shell and apt, that of `make image` has not. BUILD_IMAGE is the same Python at the same path, with its
# venv and pip. Nothing is run in the last stage.
# With SOURCE_DATE_EPOCH as a build argument the compiled Python is the same in every build; times of
# files in layers are up to the builder (buildah --timestamp, BuildKit rewrite-timestamp=true).
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /tmp/build && python3 -m venv --without-pip /opt/together-operator
COPY requirements/runtime.txt requirements/build.txt /src/requirements/
# A pip.conf of the machine that builds (an index or certificates of its own) comes in as a secret,
# and stays out of the image. --only-binary: nothing is compiled, so no compiler is needed.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /tmp/build/bin/pip install --quiet --require-hashes --only-binary :all: \
      -r /src/requirements/build.txt && \
    /tmp/build/bin/pip --python /opt/together-operator/bin/python install --quiet \
      --require-hashes --only-binary :all: -r /src/requirements/runtime.txt
COPY pyproject.toml README.md LICENSE /src/
COPY operator /src/operator
# unchecked-hash: the same bytes at every build, and no file is looked at twice at the start.
ARG SOURCE_DATE_EPOCH=0
RUN /tmp/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /tmp/wheel /src && \
    /tmp/build/bin/pip --python /opt/together-operator/bin/python install --quiet --no-deps \
      --no-index /tmp/wheel/*.whl && \
    rm /opt/together-operator/lib/python3.*/site-packages/together_operator-*.dist-info/direct_url.json && \
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} PYTHONHASHSEED=0 \
      /opt/together-operator/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/together-operator/lib

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="together-operator" \
      org.opencontainers.image.description="Kubernetes operator that brings models to Together AI and serves them on dedicated endpoints" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/together-operator /opt/together-operator
ENV PATH=/opt/together-operator/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number, so that Kubernetes can tell that it isn't root.
USER 65532:65532
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["together-operator"]
CMD ["run"]
