"""Addresses."""

from django.contrib import admin
from django.urls import path

from example_project.shop import views

urlpatterns = [
    path("", views.products, name="products"),
    path("products/<slug:slug>/", views.product, name="product"),
    path("orders/", views.orders, name="orders"),
    path("orders/<slug:number>/", views.order, name="order"),
    path("admin/", admin.site.urls),
]
