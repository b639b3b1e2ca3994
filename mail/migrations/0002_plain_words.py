"""Plain names for the columns, a code for every cause, and no columns that nothing reads."""

import django.db.models.functions.text
from django.db import migrations, models
from django.utils import timezone


def give_causes(apps, schema_editor):
    """What was told by the beginning of the words alone."""
    Mail, Alarm = apps.get_model("mail", "Mail"), apps.get_model("mail", "Alarm")
    came_back = "mail to this address has come back before"
    refused = Mail.objects.filter(state="refused")
    refused.filter(error__startswith=came_back).update(cause="suppressed")
    refused.filter(cause="").update(cause="no_mailbox")
    Mail.objects.filter(priority=2).update(priority=1)  # nothing was ever posted as bulk
    # If what raised it is still so, the next message raises it again, with its cause.
    Alarm.objects.filter(ended_at=None).update(ended_at=timezone.now())


class Migration(migrations.Migration):

    dependencies = [
        ('mail', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='mail',
            options={'verbose_name': 'message', 'verbose_name_plural': 'messages'},
        ),
        migrations.RemoveConstraint(
            model_name='suppression',
            name='suppression_once_an_address_and_purpose',
        ),
        migrations.RenameField(
            model_name='alarm',
            old_name='words',
            new_name='error',
        ),
        migrations.RenameField(
            model_name='alarm',
            old_name='told_at',
            new_name='notified_at',
        ),
        migrations.RemoveField(
            model_name='mail',
            name='args',
        ),
        migrations.RenameField(
            model_name='mail',
            old_name='faults',
            new_name='crashes',
        ),
        migrations.RenameField(
            model_name='mail',
            old_name='held',
            new_name='on_hold',
        ),
        migrations.RenameField(
            model_name='mail',
            old_name='taken',
            new_name='claimed',
        ),
        migrations.RemoveField(
            model_name='suppression',
            name='purpose',
        ),
        migrations.AddField(
            model_name='alarm',
            name='cause',
            field=models.CharField(blank=True, max_length=20),
        ),
        migrations.AddField(
            model_name='mail',
            name='cause',
            field=models.CharField(blank=True, max_length=20, verbose_name='cause'),
        ),
        migrations.AlterField(
            model_name='mail',
            name='claimed',
            field=models.BooleanField(default=False, verbose_name='claimed'),
        ),
        migrations.AlterField(
            model_name='mail',
            name='crashes',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='mail',
            name='on_hold',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='mail',
            name='priority',
            field=models.SmallIntegerField(choices=[(0, 'somebody waits for it'), (1, 'notice')], default=1, verbose_name='priority'),
        ),
        migrations.AlterField(
            model_name='suppression',
            name='reason',
            field=models.CharField(choices=[('declined', 'its owner wants none'), ('refused', 'the mail server refused the address'), ('bounced', 'mail came back'), ('complained', 'reported as spam')], max_length=50, verbose_name='reason'),
        ),
        migrations.AddConstraint(
            model_name='suppression',
            constraint=models.UniqueConstraint(django.db.models.functions.text.Lower('address'), name='suppression_once_an_address'),
        ),
        migrations.RunPython(give_causes, migrations.RunPython.noop),
    ]
