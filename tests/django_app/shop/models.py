from django.db import models


class Order(models.Model):
    number = models.TextField(unique=True)
    receipts = models.IntegerField(default=0)
