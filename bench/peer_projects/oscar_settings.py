"""The least of a django-oscar shop: all its applications, none of its pages, nobody who signs in."""

import os

from oscar.defaults import *  # noqa: F403 - Oscar's own way to be configured

SECRET_KEY = "protects nothing"  # noqa: S105 - a shop of a minute
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "oscar_shop"
SITE_ID = 1
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
OSCAR_DEFAULT_CURRENCY = "USD"
OSCAR_ALLOW_ANON_CHECKOUT = True
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
# What a shop with its pages has; Oscar's applications ask for it.
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["SHOP_DATABASE"],
        "USER": os.environ["SHOP_USER"],
        "HOST": "127.0.0.1",
        "PORT": os.environ["SHOP_PORT"],
        "CONN_MAX_AGE": None,  # a connection for each process, for good
    }
}
_ROOMS = (
    "analytics",
    "checkout",
    "address",
    "shipping",
    "catalogue",
    "communication",
    "partner",
    "basket",
    "payment",
    "offer",
    "order",
    "customer",
    "search",
    "voucher",
    "wishlists",
    "dashboard",
)
_DASHBOARDS = (
    "reports",
    "users",
    "orders",
    "catalogue",
    "offers",
    "partners",
    "pages",
    "ranges",
    "reviews",
    "vouchers",
    "communications",
    "shipping",
)
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.flatpages",
    "oscar.config.Shop",
    *(f"oscar.apps.{name}.apps.{name.title()}Config" for name in _ROOMS),
    "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    *(f"oscar.apps.dashboard.{name}.apps.{name.title()}DashboardConfig" for name in _DASHBOARDS),
    "widget_tweaks",
    "haystack",
    "treebeard",
    "django_tables2",
]
