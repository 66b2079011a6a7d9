# syntax=docker/dockerfile:1
# The tag fixes the version of Python for which requirements/run.txt was resolved, and no more: what it names changes with every mend
# of Debian. Give the digest besides, for both stages at once:
#   docker buildx imagetools inspect python:3.11-slim-bookworm     names it
#   docker build --build-arg BASE=python:3.11-slim-bookworm@sha256:... .
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS build

WORKDIR /src
COPY pyproject.toml README.md ./
COPY requirements/installer.txt requirements/build.txt requirements/run.txt requirements/
COPY operator/tidegate operator/tidegate
# Every file that is installed is checked against a hash in requirements/, but for our own wheel; the pip that does it comes first.
# What a package asks for is never looked up: the lock names it already, and `pip check` says so.
RUN pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements/installer.txt
RUN pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements/build.txt
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

RUN python -m venv --without-pip /opt/tidegate
RUN pip --python /opt/tidegate/bin/python install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements/run.txt
RUN pip --python /opt/tidegate/bin/python install --no-cache-dir --no-deps --no-index /wheels/tidegate-*.whl
RUN pip --python /opt/tidegate/bin/python check
RUN python -m compileall -q -j 0 /opt/tidegate/lib


FROM ${BASE}

COPY --from=build /opt/tidegate /opt/tidegate
# The root file system is read-only in the cluster: nothing is to be written beside the code.
ENV PATH=/opt/tidegate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["tidegate"]
CMD ["run"]
