"""Settings of the Django project. Every knob is an environment variable of .env.example."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from environs import Env, EnvError

from tradebot import failpoints
from tradebot.errors import ConfigError
from tradebot.timings import DEFAULT as DEFAULT_TIMINGS

BASE_DIR = Path(__file__).resolve().parent.parent
env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)


def _read(name: str, kind: str, *default: Any) -> Any:
    """The variable `name` as `kind`; raises ConfigError with a sentence that names the variable."""
    try:
        return getattr(env, kind)(name, *default)
    except EnvError as error:
        raise ConfigError(
            f"The environment variable {name} can't be read: {error}. See .env.example."
        ) from None


def _positive(name: str, default: int) -> int:
    value = _read(name, "int", default)
    if value <= 0:
        raise ConfigError(f"The environment variable {name} must be above 0, but is {value}.")
    return int(value)


def _choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = _read(name, "str", default)
    if value not in choices:
        raise ConfigError(
            f"The environment variable {name} must be one of {', '.join(choices)}, not {value!r}."
        )
    return str(value)


def _has_host(address: str) -> bool:
    """Whether an address names a host, and a possible port, if it names one."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _url(name: str, default: str) -> str:
    value = str(_read(name, "str", default)).rstrip("/")
    if not value.startswith(("http://", "https://")) or not _has_host(value):
        raise ConfigError(
            f"The environment variable {name} must be an address like http://127.0.0.1:8899, not {value!r}."
        )
    return value


def _database(name: str) -> Any:
    value = _read(name, "str")
    if not value.startswith(("postgres://", "postgresql://")):
        raise ConfigError(
            f"The environment variable {name} must be an address like "
            "postgresql://user:password@host:5432/name; only PostgreSQL is supported."
        )
    try:
        parsed = dj_database_url.parse(value, conn_max_age=600)
    except (ValueError, dj_database_url.ParseError, dj_database_url.UnknownSchemeError):
        raise ConfigError(f"The environment variable {name} is not a PostgreSQL address.") from None
    if not parsed["NAME"]:
        raise ConfigError(f"The environment variable {name} names no database; it comes after the last /.")
    return parsed


def _redis(name: str) -> str:
    value = str(_read(name, "str"))
    number = urlsplit(value).path.strip("/") if _has_host(value) else "none"
    is_address = value.startswith(("redis://", "rediss://")) and (not number or number.isdecimal())
    if not is_address and not value.startswith("unix://"):
        raise ConfigError(
            f"The environment variable {name} must be an address like redis://127.0.0.1:6379/0."
        )
    return value


def _email(name: str) -> dict[str, Any]:
    """Django's e-mail settings from one address; without it e-mails are only written to stdout."""
    value = str(_read(name, "str", ""))
    if not value:
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    parts = urlsplit(value)
    if parts.scheme not in ("smtp", "smtp+tls", "smtps") or not _has_host(value):
        raise ConfigError(
            f"The environment variable {name} must be an address like smtp+tls://user:password@host:587; "
            "smtps:// is TLS from the first byte, smtp:// is not encrypted."
        )
    default_port = {"smtp": 25, "smtp+tls": 587, "smtps": 465}[parts.scheme]
    return {
        "EMAIL_BACKEND": "tradebot.mail.BoundedEmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or default_port,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtps",
    }


SECRET_KEY = _read("SECRET_KEY", "str")
if not SECRET_KEY:
    raise ConfigError("The environment variable SECRET_KEY is empty; it must hold 50 random characters.")
FERNET_KEYS = _read("FERNET_KEYS", "list")
if not FERNET_KEYS or not all(len(key) >= 32 for key in FERNET_KEYS):
    raise ConfigError(
        "The environment variable FERNET_KEYS must hold one or more keys of at least 32 characters, "
        "separated by commas, the newest first."
    )
DEBUG = _read("DEBUG", "bool", False)
ALLOWED_HOSTS = _read("ALLOWED_HOSTS", "list", [])

DATABASES = {"default": _database("DATABASE_URL")}
DATABASES["default"]["ATOMIC_REQUESTS"] = False  # a run commits before it sends; see docs/orders.md
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {}).setdefault(
    "options", "-c statement_timeout=30000 -c lock_timeout=10000 -c timezone=UTC"
)
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
REDIS_URL = _redis("REDIS_URL")

TASK_SOFT_TIME_LIMIT = _positive("TASK_SOFT_TIME_LIMIT", 150)  # seconds
TASK_HARD_TIME_LIMIT = _positive("TASK_HARD_TIME_LIMIT", 180)  # seconds
if TASK_HARD_TIME_LIMIT <= TASK_SOFT_TIME_LIMIT:
    raise ConfigError("TASK_HARD_TIME_LIMIT must be above TASK_SOFT_TIME_LIMIT.")
SYMBOLS_REFRESH_MINUTES = _positive("SYMBOLS_REFRESH_MINUTES", 15)
SYMBOLS_TTL = _positive("SYMBOLS_TTL", 3600)  # seconds
SYMBOL_SOURCES = tuple(_read("SYMBOL_SOURCES", "list", ["live", "paper"]))
if not SYMBOL_SOURCES or not set(SYMBOL_SOURCES) <= {"live", "testnet", "paper"}:
    raise ConfigError(
        "The environment variable SYMBOL_SOURCES must list some of live, testnet, paper, not "
        f"{','.join(SYMBOL_SOURCES)!r}."
    )
PAPER_SPOT_URL = _url("PAPER_SPOT_URL", "http://127.0.0.1:8899")
PAPER_FUTURES_URL = _url("PAPER_FUTURES_URL", PAPER_SPOT_URL)
EGRESS_ID = _read("EGRESS_ID", "str", "default")
LIVE_TRADING = _read("LIVE_TRADING", "bool", False)
if LIVE_TRADING and failpoints.switched_on():
    raise ConfigError(
        f"LIVE_TRADING is on, and {' and '.join(failpoints.switched_on())} is set, which is for tests of "
        "crashes only: unset it."
    )
DEPLOYMENT_NONCE = _read("DEPLOYMENT_NONCE", "str", "000000")
if len(DEPLOYMENT_NONCE) != 6 or not DEPLOYMENT_NONCE.isalnum() or not DEPLOYMENT_NONCE.isascii():
    raise ConfigError(
        "The environment variable DEPLOYMENT_NONCE must be six letters or digits, other than any "
        "other deployment's that uses the same exchange account."
    )
CLOCK = _choice("CLOCK", "wall", ("wall", "stepped"))
SCREEN_CHUNK = _positive("SCREEN_CHUNK", 1000)  # bots a screen message
TIMINGS_SCALE = _read("TIMINGS_SCALE", "float", 1.0)
if not 0 < TIMINGS_SCALE <= 1:
    raise ConfigError("The environment variable TIMINGS_SCALE must be above 0 and at most 1.")
LOG_FORMAT = _choice("LOG_FORMAT", "text", ("text", "json"))
HTTPS = _read("HTTPS", "bool", False)
METRICS_TOKEN = _read("METRICS_TOKEN", "str", "")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise ConfigError("The environment variable METRICS_TOKEN must be empty or at least 16 characters long.")
TIMINGS = DEFAULT_TIMINGS if TIMINGS_SCALE == 1 else DEFAULT_TIMINGS.scaled(TIMINGS_SCALE)

# host:port of webhook receivers that may be private and may speak plain http, for paper and demo.
WEBHOOK_ALLOWED_HOSTS = tuple(host.lower() for host in _read("WEBHOOK_ALLOWED_HOSTS", "list", []))
if not all(_has_host(f"//{host}") and urlsplit(f"//{host}").port for host in WEBHOOK_ALLOWED_HOSTS):
    raise ConfigError(
        "The environment variable WEBHOOK_ALLOWED_HOSTS must list hosts with ports, like 127.0.0.1:8080."
    )
globals().update(_email("EMAIL_URL"))
DEFAULT_FROM_EMAIL = _read("EMAIL_FROM", "str", "tradebot@localhost")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_dramatiq",
    "marketdata",
    "trading",
    "bots",
]
MIDDLEWARE = [
    "tradebot.request_ids.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "bots" / "templates"],  # before the admin's own
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "tradebot.urls"
WSGI_APPLICATION = "tradebot.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "tradebot.formats"
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # static files come from the packages; no build step
WHITENOISE_AUTOREFRESH = False
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 30 * 86_400 if HTTPS else 0
# The proxy before us ends TLS and says so; it must drop this header where a visitor sent it.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]  # asked from within, without TLS
# Subdomains, and the browsers' preload list, are the domain owner's to decide, not this project's.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SESSION_COOKIE_AGE = 8 * 3600
LOGIN_URL = "admin:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

API_REQUESTS_PER_MINUTE = {
    "read": 3000,  # by user
    "write": 1200,  # by user
    "anonymous": 300,  # by address
    "login": 20,  # by address and user name
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "bots.api.tokens.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["bots.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "bots.api.parsers.JSONOnly",
    "DEFAULT_PAGINATION_CLASS": "bots.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["bots.api.throttles.PerMinute"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "bots.api.errors.handle",
    "URL_FORMAT_OVERRIDE": None,
    "NUM_PROXIES": 0,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_TTL": timedelta(hours=24)}
SPECTACULAR_SETTINGS = {
    "TITLE": "TradeBot",
    "DESCRIPTION": "Configures bots and shows what they do. Decimals are strings, times are in UTC.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "PATH_CONVERTER_OVERRIDES": {
        "row": {"type": "integer", "minimum": 0},
        "run": {"type": "string", "pattern": "^(inbox-)?[0-9]{1,18}$"},
    },
    "ENUM_NAME_OVERRIDES": {"ChannelKindEnum": "bots.notifications.models.NotificationChannel.Kind"},
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "bots.api.schema.add_errors",
    ],
}

DRAMATIQ_BROKER = {
    "BROKER": "tradebot.broker.PatientBroker",
    "OPTIONS": {
        "url": REDIS_URL,
        # A killed worker's messages are looked for at each command, once its heartbeat is 45 s old.
        "maintenance_chance": 1_000_000,
        "heartbeat_timeout": 45_000,
    },
    # All of them are listed: dramatiq 2 merges no defaults in.
    "MIDDLEWARE": [
        "tradebot.middleware.LogIds",
        "dramatiq.middleware.AgeLimit",
        "tradebot.middleware.HardTimeLimit",
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.ShutdownNotifications",
        "dramatiq.middleware.Callbacks",
        "dramatiq.middleware.Retries",
        "dramatiq.middleware.CurrentMessage",
        "tradebot.middleware.CleanConnections",
        "bots.dead_letters.DeadLetters",
        "tradebot.middleware.SchemaGuard",
        "tradebot.middleware.Heartbeat",
        "bots.boot.SweepAtStart",
        "periodiq.PeriodiqMiddleware",
    ],
}
DRAMATIQ_RESULT_BACKEND = {
    "BACKEND": "dramatiq.results.backends.redis.RedisBackend",
    "BACKEND_OPTIONS": {"url": REDIS_URL},
    "MIDDLEWARE_OPTIONS": {"result_ttl": 3_600_000},
}
DRAMATIQ_AUTODISCOVER_MODULES = ("actors",)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"secrets": {"()": "tradebot.logs.MaskSecrets"}},
    "formatters": {
        "text": {
            "()": "tradebot.logs.TextLine",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "json": {"()": "tradebot.logs.JsonLine"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["secrets"],
        },
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "binance": {"level": "WARNING"},  # its verbose path would log signed requests
        "urllib3": {"level": "WARNING"},
        "periodiq": {"level": "WARNING"},
    },
}
