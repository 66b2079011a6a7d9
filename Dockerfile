# syntax=docker/dockerfile:1
# The tag fixes the version of Python for which requirements/run.txt was resolved. Pin the digest besides where your builds must be
# repeatable to the byte: `docker buildx imagetools inspect python:3.11-slim-bookworm` names it.
FROM python:3.11-slim-bookworm AS build

WORKDIR /src
COPY pyproject.toml README.md ./
COPY requirements/build.txt requirements/run.txt requirements/
COPY operator/tidegate operator/tidegate
RUN pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# Every file that is installed is checked against a hash in requirements/, but for our own wheel.
RUN python -m venv /opt/tidegate
RUN /opt/tidegate/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/run.txt
RUN /opt/tidegate/bin/pip install --no-cache-dir --no-deps --no-index /wheels/tidegate-*.whl
RUN /opt/tidegate/bin/pip check
RUN /opt/tidegate/bin/pip uninstall --yes pip setuptools
RUN python -m compileall -q -j 0 /opt/tidegate/lib


FROM python:3.11-slim-bookworm

COPY --from=build /opt/tidegate /opt/tidegate
# The root file system is read-only in the cluster: nothing is to be written beside the code.
ENV PATH=/opt/tidegate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["tidegate"]
CMD ["run"]
