"""What the shop opens with."""

from django.db import migrations

PRODUCTS = [
    ("Morning Filter", "morning-filter", "Light and floral, for the first cup of the day.", "9.80", 38),
    ("House Espresso", "house-espresso", "Dark chocolate, toasted hazelnut, no nonsense.", "11.50", 18),
    ("Decaf Evening", "decaf-evening", "All of the taste, and a night’s sleep as well.", "12.20", 260),
    ("Ethiopia Guji", "ethiopia-guji", "Washed, bright, with a finish of ripe apricot.", "14.90", 28),
    ("Cold Brew Bags", "cold-brew-bags", "Eight bags, cold water, and a little patience.", "16.00", 200),
    ("Enamel Cup", "enamel-cup", "Holds a third of a litre and survives most campfires.", "18.50", 150),
]


def stock(apps, schema_editor):
    product = apps.get_model("shop", "Product")
    for name, slug, description, price, hue in PRODUCTS:
        product.objects.create(name=name, slug=slug, description=description, price=price, hue=hue)


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(stock, migrations.RunPython.noop)]
