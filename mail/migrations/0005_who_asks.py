"""Who asked for a message, which mailbox gets it, and whose part of the budget it draws on."""

from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Lower

DOMAINS = {"gmail.com": ("gmail.com", "."), "googlemail.com": ("gmail.com", "."), "naver.com": ("naver.com", "")}


def mailbox_of(address):
    """As `mail.models.mailbox_of` was when this was written."""
    local, at, domain = address.lower().rpartition("@")
    if domain in DOMAINS and not local.startswith("+"):
        domain, ignored = DOMAINS[domain]
        local = local.split("+")[0]
        if ignored:
            local = local.replace(ignored, "")
    return f"{local}{at}{domain}"


def find_mailboxes(apps, schema_editor):
    """The key that new rows get when they are saved."""
    Mail = apps.get_model("mail", "Mail")
    Mail.objects.filter(mailbox="").update(mailbox=Lower("address"))
    with_variants = Q(pk__in=[])
    for domain in DOMAINS:
        with_variants |= Q(mailbox__endswith=f"@{domain}")
    addresses = Mail.objects.filter(with_variants).order_by().values_list("mailbox", flat=True)
    for address in list(addresses.distinct()):
        Mail.objects.filter(mailbox=address).update(mailbox=mailbox_of(address))


def suppress_mailboxes(apps, schema_editor):
    """One row a mailbox: of several, the one that lasts longest."""
    kept = {}
    for row in apps.get_model("mail", "Suppression").objects.order_by("until"):
        mailbox = mailbox_of(row.address)
        other = kept.get(mailbox)
        if other and (other.until is None or (row.until and row.until <= other.until)):
            row.delete()
            continue
        if other:
            other.delete()
        kept[mailbox] = row
    for mailbox, row in kept.items():
        row.address = mailbox
        row.save()


class Migration(migrations.Migration):

    dependencies = [
        ('mail', '0004_pulse'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='suppression',
            name='suppression_once_an_address',
        ),
        migrations.RemoveIndex(
            model_name='mail',
            name='mail_by_sending',
        ),
        migrations.RemoveIndex(
            model_name='mail',
            name='mail_by_address',
        ),
        migrations.AddField(
            model_name='mail',
            name='asker',
            field=models.CharField(blank=True, editable=False, max_length=32),
        ),
        migrations.AddField(
            model_name='mail',
            name='budget',
            field=models.CharField(blank=True, choices=[('owner', 'to the owner of an account'), ('open', 'to an address that nobody has proven'), ('notice', 'to an owner, about what a stranger did'), ('site', 'of the site itself')], max_length=10, verbose_name='budget'),
        ),
        migrations.AddField(
            model_name='mail',
            name='mailbox',
            field=models.CharField(blank=True, editable=False, max_length=254),
        ),
        migrations.AddField(
            model_name='suppression',
            name='days',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='suppression',
            name='last_day',
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name='suppression',
            name='times',
            field=models.PositiveIntegerField(default=0, verbose_name='how often'),
        ),
        migrations.AddIndex(
            model_name='mail',
            index=models.Index(models.F('sent_at'), models.F('budget'), name='mail_by_sending'),
        ),
        migrations.AddIndex(
            model_name='mail',
            index=models.Index(models.F('asker'), models.F('sent_at'), name='mail_by_asker'),
        ),
        migrations.AddIndex(
            model_name='mail',
            index=models.Index(models.F('mailbox'), models.F('created_at'), name='mail_by_mailbox'),
        ),
        migrations.RunPython(find_mailboxes, migrations.RunPython.noop),
        migrations.RunPython(suppress_mailboxes, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='suppression',
            name='address',
            field=models.EmailField(max_length=254, unique=True, verbose_name='address'),
        ),
    ]
