TIME_FORMAT = "A\xa0g:i\xa0T"
DATETIME_FORMAT = "Y년 n월 j일 A\xa0g:i\xa0T"
