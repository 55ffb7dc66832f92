"""The shop in the admin; the queue's tables are there by themselves."""

from django.contrib import admin

from example_project.shop.models import Order, Product, Receipt

admin.site.site_header = "Kettle & Cup"


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ["name", "price"]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["number", "customer", "product", "quantity", "total", "placed", "receipt"]
    list_select_related = ["product", "receipt"]
    search_fields = ["number", "customer", "email"]
    date_hierarchy = "placed"


@admin.register(Receipt)
class ReceiptAdmin(admin.ModelAdmin):
    list_display = ["order", "sent"]
    list_select_related = ["order"]
