# The pages for people: node is needed to build them, not to serve them.
FROM python:3.13-slim AS pages
ENV UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --only-group pages --no-install-project --no-cache
COPY api/__init__.py api/__init__.py
COPY api/web api/web
RUN .venv/bin/python -m api.web.building

FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/app/.venv \
    PATH=/app/.venv/bin:$PATH
RUN pip install --no-cache-dir uv
WORKDIR /app

# The dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project --no-cache

COPY engine engine
COPY persistence persistence
COPY actors actors
COPY api api
COPY --from=pages /app/api/web/built api/web/built
COPY loadtest loadtest
# Compiled here, since who runs it may not write here: each process would compile all it imports, at each start.
RUN uv sync --frozen --no-dev --no-cache \
    && python -m compileall -q engine persistence actors api loadtest \
    && useradd --create-home --shell /usr/sbin/nologin boxoffice \
    && install -d -o boxoffice -g boxoffice /data

USER boxoffice
ENV BOXOFFICE_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
# Stopping takes a worker's 5 s for requests under way, and what Ray needs.
STOPSIGNAL SIGTERM
CMD ["boxoffice", "up", "--host", "0.0.0.0", "--no-demo"]
