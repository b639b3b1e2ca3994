"""Export: everything that hangs on a person, as a file. `account_data` shows the same."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from users import activity, exports, visitors
from users.models import Tag
from users.views.account import person_of


@require_POST
@login_required
def export(request: HttpRequest) -> JsonResponse:
    person = person_of(request)
    activity.record(person, Tag.EXPORTED, visitors.where(request))
    parts = {part.name: part.rows for part in exports.of(person)}
    response = JsonResponse(parts, json_dumps_params={"ensure_ascii": False, "indent": 2})
    name = f"cs_web-{person.user_id}.json"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
