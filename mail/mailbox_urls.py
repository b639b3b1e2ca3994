from django.urls import path

from mail import mailbox

app_name = "mailbox"

urlpatterns = [
    path("", mailbox.letter_list, name="list"),
    path("<name>/", mailbox.letter, name="letter"),
    path("<name>/html/", mailbox.letter_html, name="html"),
]
