TIME_FORMAT = "g:i\xa0A\xa0T"
DATETIME_FORMAT = "j F Y, g:i\xa0A\xa0T"
