"""Who may do what: every route, for every kind of caller, about one's own organisation's things and another's.

This is what is decided; ``tests.security.access`` walks the applications' routes and holds them to it. A route that is
not here fails the build, and so does a line whose route is gone.

Callers of the management API, in the order of the columns:

none        no key
wrong       a key that is malformed, unknown, expired, or revoked
elsewhere   an admin's, from an address that it may not be used from
developer   one for models only
reader      an admin's that may read every area
area        an admin's for this route's area
others      an admin's for one area, any but this route's
admin       an admin's without scopes
p…          a person who has logged in, with that role (in ``PEOPLE``), and gp… one of another organisation
g…          the same of an organisation that is not the platform's: its admins manage their own keys and people, and
            read nothing of the platform's

Whose thing is meant:

own         the caller's organisation's
named       another organisation's, by its name or id alone: for the caller that is the name of nothing
asked       another organisation's, with ``?organisation=``
platform    what belongs to the platform, whoever asks
-           nobody's
"""

from typing import NamedTuple


class Line(NamedTuple):
    """What one route answers each caller with, a status by column; ``area`` is "-" for none."""

    route: str
    area: str
    whose: str
    outcomes: dict[str, int]


MANAGEMENT_CALLERS = (
    "none", "wrong", "elsewhere", "developer", "reader", "area", "others", "admin",
    "gdeveloper", "greader", "garea", "gadmin",
)  # fmt: skip

# Kinds of object of the configuration. What OWN names each organisation has for itself.
OWN_KINDS = ("teams", "users", "memberships", "request-tags", "limits")
PLATFORM_KINDS = ("proxies", "providers", "accounts", "combos", "aliases", "prices", "settings")

MANAGEMENT = """
                                                           none wrng away dev  read area othr admn gdev grd  gare gadm
GET    /                                   -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /favicon.ico                        -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /static/app.css                     -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /static/app.js                      -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /static/live.js                     -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /static/icon.svg                    -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /static/people.js                   -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /login                              -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /account                            -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /people                             -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /healthz                            -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /readyz                             -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /metrics                            -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /api/openapi.json                   -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /api/about                          -      -        200  200  200  200  200  200  200  200  200  200  200  200
GET    /api/me                             -      own      401  401  403  200  200  200  200  200  200  200  200  200

GET    /api/usage                          usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/usage                          usage  named    401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/analytics                      usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/analytics                      usage  named    401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/reports/spend                  usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/live                           usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/logs                           usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/logs                           usage  named    401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/export                         usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/export                         usage  named    401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/analytics/meta                 usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/usage/statement                usage  platform 401  401  403  403  200  200  403  200  403  403  403  403
POST   /api/usage/reprice                  usage  platform 401  401  403  403  403  200  403  200  403  403  403  403
GET    /api/requests/{id}                  usage  own      401  401  403  200  200  200  403  200  200  200  200  200
GET    /api/requests/{id}                  usage  named    401  401  403  404  200  200  403  200  404  404  404  404
GET    /api/requests/{id}/bodies           bodies own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/requests/{id}/bodies           bodies named    401  401  403  403  200  200  403  200  403  404  404  404
DELETE /api/requests/{id}/bodies           bodies own      401  401  403  403  403  200  403  200  403  403  200  200
DELETE /api/requests/{id}/bodies           bodies named    401  401  403  403  403  200  403  200  403  403  404  404
POST   /api/simulate-route                 usage  own      401  401  403  200  403  200  403  200  200  403  200  200
POST   /api/simulate-route                 usage  named    401  401  403  403  403  404  403  404  403  403  404  404
POST   /api/simulate-route                 usage  asked    401  401  403  403  403  200  403  200  403  403  403  403
GET    /api/keys                           keys   own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/keys                           keys   asked    401  401  403  403  200  200  403  200  403  403  403  403
POST   /api/keys                           keys   own      401  401  403  403  403  201  403  201  403  403  201  201
POST   /api/keys                           keys   named    401  401  403  403  403  201  403  201  403  403  201  201
POST   /api/keys                           keys   asked    401  401  403  403  403  201  403  201  403  403  403  403
POST   /api/keys/{id}/rotate               keys   own      401  401  403  403  403  200  403  200  403  403  200  200
POST   /api/keys/{id}/rotate               keys   named    401  401  403  403  403  404  403  404  403  403  404  404
POST   /api/keys/{id}/rotate               keys   asked    401  401  403  403  403  200  403  200  403  403  403  403
DELETE /api/keys/{id}                      keys   own      401  401  403  403  403  200  403  200  403  403  200  200
DELETE /api/keys/{id}                      keys   named    401  401  403  403  403  404  403  404  403  403  404  404
DELETE /api/keys/{id}                      keys   asked    401  401  403  403  403  200  403  200  403  403  403  403
GET    /api/quota                          quota  own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/limit-events                   quota  own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/limit-events                   quota  asked    401  401  403  403  200  200  403  200  403  403  403  403
POST   /api/quota/breakers/{account}/reset quota  platform 401  401  403  403  403  204  403  204  403  403  403  403
POST   /api/quota/rates/{account}/forget   quota  platform 401  401  403  403  403  204  403  204  403  403  403  403
POST   /api/quota/accounts/{account}/refresh quota  platform 401  401  403  403  403  200  403  200  403  403  403  403
GET    /api/logins                         config platform 401  401  403  403  200  200  403  200  403  403  403  403
POST   /api/logins                         config platform 401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/logins/finish                  config platform 401  401  403  403  403  404  403  404  403  403  403  403
POST   /api/logins/import                  config platform 401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/logins/flows/{flow}/poll       config platform 401  401  403  403  403  404  403  404  403  403  403  403
POST   /api/logins/{login}/refresh         config platform 401  401  403  403  403  404  403  404  403  403  403  403
DELETE /api/logins/{login}                 config platform 401  401  403  403  403  404  403  404  403  403  403  403
GET    /api/system                         system platform 401  401  403  403  200  200  403  200  403  403  403  403
GET    /api/events/dead                    system platform 401  401  403  403  200  200  403  200  403  403  403  403
POST   /api/events/dead/redrive            system platform 401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/events/dead/discard            system platform 401  401  403  403  403  200  403  200  403  403  403  403

GET    /api/audit                          audit  own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/audit                          audit  asked    401  401  403  403  200  200  403  200  403  403  403  403
GET    /api/audit/verify                   audit  platform 401  401  403  403  200  200  403  200  403  403  403  403
GET    /api/audit/usage                    audit  platform 401  401  403  403  200  200  403  200  403  403  403  403

POST   /api/accounts/{account}/test        config platform 401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/proxies/{proxy}/test           config platform 401  401  403  403  403  200  403  200  403  403  403  403

GET    /api/session                        -      -        200  200  200  200  200  200  200  200  200  200  200  200
POST   /api/session                        -      -        422  422  422  422  422  422  422  422  422  422  422  422
POST   /api/session/look                   -      -        422  422  422  422  422  422  422  422  422  422  422  422
POST   /api/session/redeem                 -      -        422  422  422  422  422  422  422  422  422  422  422  422
GET    /api/session/oidc/callback          -      -        403  403  403  403  403  403  403  403  403  403  403  403
GET    /api/session/oidc/{id}              -      -        403  403  403  403  403  403  403  403  403  403  403  403
DELETE /api/session                        -      own      401  401  403  403  403  403  403  403  403  403  403  403
GET    /api/account/sessions               -      own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/account/sessions/end           -      own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/account/password               -      own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/account/totp                   -      own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/account/totp/confirm           -      own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/account/totp/remove            -      own      401  401  403  403  403  403  403  403  403  403  403  403
GET    /api/people                         people own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/people                         people asked    401  401  403  403  200  200  403  200  403  403  403  403
POST   /api/people                         people own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/people                         people asked    401  401  403  403  403  403  403  403  403  403  403  403
PATCH  /api/people/{id}                    people own      401  401  403  403  403  403  403  403  403  403  403  403
PATCH  /api/people/{id}                    people asked    401  401  403  403  403  403  403  403  403  403  403  403
DELETE /api/people/{id}                    people own      401  401  403  403  403  403  403  403  403  403  403  403
DELETE /api/people/{id}                    people asked    401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/people/{id}/reset              people own      401  401  403  403  403  403  403  403  403  403  403  403
POST   /api/people/{id}/reset              people asked    401  401  403  403  403  403  403  403  403  403  403  403
PATCH  /api/people/{id}                    people named    401  401  403  403  403  403  403  403  403  403  403  403

POST   /api/config/apply                   config platform 401  401  403  403  403  200  403  200  403  403  403  403
GET    /api/price-list                     config platform 401  401  403  403  200  200  403  200  403  403  403  403
GET    /api/config/export                  config platform 401  401  403  403  200  200  403  200  403  403  403  403

GET    /api/{own}                          config own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/{own}                          config asked    401  401  403  403  200  200  403  200  403  403  403  403
GET    /api/{own}/{name}                   config own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/{own}/{name}                   config named    401  401  403  403  404  404  403  404  403  404  404  404
GET    /api/{own}/{name}                   config asked    401  401  403  403  200  200  403  200  403  403  403  403
PUT    /api/{own}/{name}                   config own      401  401  403  403  403  200  403  200  403  403  200  200
PUT    /api/{own}/{name}                   config named    401  401  403  403  403  201  403  201  403  403  201  201
PUT    /api/{own}/{name}                   config asked    401  401  403  403  403  200  403  200  403  403  403  403
DELETE /api/{own}/{name}                   config own      401  401  403  403  403  200  403  200  403  403  200  200
DELETE /api/{own}/{name}                   config named    401  401  403  403  403  404  403  404  403  403  404  404
DELETE /api/{own}/{name}                   config asked    401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/{own}/{name}/adopt             config own      401  401  403  403  403  200  403  200  403  403  200  200
POST   /api/{own}/{name}/adopt             config named    401  401  403  403  403  404  403  404  403  403  404  404
POST   /api/{own}/{name}/adopt             config asked    401  401  403  403  403  200  403  200  403  403  403  403

GET    /api/{platform}                     config platform 401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/{platform}/{name}              config platform 401  401  403  403  200  200  403  200  403  404  404  404
PUT    /api/{platform}/{name}              config platform 401  401  403  403  403  200  403  200  403  403  403  403
DELETE /api/{platform}/{name}              config platform 401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/{platform}/{name}/adopt        config platform 401  401  403  403  403  200  403  200  403  403  403  403

GET    /api/organisations                  config own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/organisations/{name}           config own      401  401  403  403  200  200  403  200  403  200  200  200
GET    /api/organisations/{name}           config platform 401  401  403  403  200  200  403  200  403  404  404  404
PUT    /api/organisations/{name}           config platform 401  401  403  403  403  200  403  200  403  403  403  403
DELETE /api/organisations/{name}           config platform 401  401  403  403  403  200  403  200  403  403  403  403
POST   /api/organisations/{name}/adopt     config platform 401  401  403  403  403  200  403  200  403  403  403  403
"""

# People who have logged in, by their role; the same of another organisation than the platform's. One kind of object
# stands for those that are alike.
PEOPLE_CALLERS = (
    "powner", "padmin", "pbilling", "pdeveloper", "pviewer", "gpowner", "gpadmin", "gpbilling", "gpdeveloper",
    "gpviewer",
)  # fmt: skip

PEOPLE = """
                                                           ownr admn bill dev  view gown gadm gbil gdev gvie
GET    /api/me                             -      own      200  200  200  200  200  200  200  200  200  200
GET    /api/account/sessions               -      own      200  200  200  200  200  200  200  200  200  200
POST   /api/account/sessions/end           -      own      200  200  200  200  200  200  200  200  200  200
POST   /api/account/password               -      own      422  422  422  422  422  422  422  422  422  422
POST   /api/account/totp                   -      own      200  200  200  200  200  200  200  200  200  200
POST   /api/account/totp/confirm           -      own      422  422  422  422  422  422  422  422  422  422
POST   /api/account/totp/remove            -      own      422  422  422  422  422  422  422  422  422  422

GET    /api/people                         people own      200  200  403  403  403  200  200  403  403  403
GET    /api/people                         people asked    200  200  403  403  403  403  403  403  403  403
POST   /api/people                         people own      201  403  403  403  403  201  403  403  403  403
POST   /api/people                         people asked    201  403  403  403  403  403  403  403  403  403
PATCH  /api/people/{id}                    people own      200  403  403  403  403  200  403  403  403  403
PATCH  /api/people/{id}                    people named    404  403  403  403  403  404  403  403  403  403
PATCH  /api/people/{id}                    people asked    200  403  403  403  403  403  403  403  403  403
DELETE /api/people/{id}                    people own      200  403  403  403  403  200  403  403  403  403
DELETE /api/people/{id}                    people named    404  403  403  403  403  404  403  403  403  403
DELETE /api/people/{id}                    people asked    200  403  403  403  403  403  403  403  403  403
POST   /api/people/{id}/reset              people own      200  403  403  403  403  200  403  403  403  403
POST   /api/people/{id}/reset              people named    404  403  403  403  403  404  403  403  403  403
POST   /api/people/{id}/reset              people asked    200  403  403  403  403  403  403  403  403  403

GET    /api/usage                          usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/usage                          usage  named    200  200  200  403  200  200  200  200  403  200
GET    /api/analytics                      usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/analytics                      usage  named    200  200  200  403  200  200  200  200  403  200
GET    /api/reports/spend                  usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/live                           usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/logs                           usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/logs                           usage  named    200  200  200  403  200  200  200  200  403  200
GET    /api/export                         usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/export                         usage  named    200  200  200  403  200  200  200  200  403  200
GET    /api/analytics/meta                 usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/usage/statement                usage  platform 200  200  200  403  200  403  403  403  403  403
POST   /api/usage/reprice                  usage  platform 200  200  403  403  403  403  403  403  403  403
GET    /api/requests/{id}                  usage  own      200  200  200  200  200  200  200  200  200  200
GET    /api/requests/{id}                  usage  named    200  200  404  404  404  404  404  404  404  404
GET    /api/requests/{id}/bodies           bodies own      200  200  403  403  403  200  200  403  403  403
GET    /api/requests/{id}/bodies           bodies named    200  200  403  403  403  404  404  403  403  403
DELETE /api/requests/{id}/bodies           bodies own      200  200  403  403  403  200  200  403  403  403
DELETE /api/requests/{id}/bodies           bodies named    200  200  403  403  403  404  404  403  403  403
POST   /api/simulate-route                 usage  own      200  200  200  200  200  200  200  200  200  200
POST   /api/simulate-route                 usage  named    404  404  404  404  404  404  404  404  404  404
POST   /api/simulate-route                 usage  asked    200  200  403  403  403  403  403  403  403  403

GET    /api/keys                           keys   own      200  200  403  403  403  200  200  403  403  403
GET    /api/keys                           keys   asked    200  200  403  403  403  403  403  403  403  403
POST   /api/keys                           keys   own      201  201  403  403  403  201  201  403  403  403
POST   /api/keys                           keys   asked    201  201  403  403  403  403  403  403  403  403
POST   /api/keys/{id}/rotate               keys   own      200  200  403  403  403  200  200  403  403  403
POST   /api/keys/{id}/rotate               keys   named    404  404  403  403  403  404  404  403  403  403
POST   /api/keys/{id}/rotate               keys   asked    200  200  403  403  403  403  403  403  403  403
DELETE /api/keys/{id}                      keys   own      200  200  403  403  403  200  200  403  403  403
DELETE /api/keys/{id}                      keys   named    404  404  403  403  403  404  404  403  403  403
DELETE /api/keys/{id}                      keys   asked    200  200  403  403  403  403  403  403  403  403
GET    /api/quota                          quota  own      200  200  200  403  200  200  200  200  403  200
GET    /api/limit-events                   quota  own      200  200  200  403  200  200  200  200  403  200
GET    /api/limit-events                   quota  asked    200  200  403  403  403  403  403  403  403  403
POST   /api/quota/breakers/{account}/reset quota  platform 204  204  403  403  403  403  403  403  403  403
POST   /api/quota/rates/{account}/forget   quota  platform 204  204  403  403  403  403  403  403  403  403
POST   /api/quota/accounts/{account}/refresh quota  platform 200  200  403  403  403  403  403  403  403  403
GET    /api/system                         system platform 200  200  403  403  403  403  403  403  403  403
GET    /api/events/dead                    system platform 200  200  403  403  403  403  403  403  403  403
POST   /api/events/dead/redrive            system platform 200  200  403  403  403  403  403  403  403  403
POST   /api/events/dead/discard            system platform 200  200  403  403  403  403  403  403  403  403
GET    /api/audit                          audit  own      200  200  403  403  403  200  200  403  403  403
GET    /api/audit                          audit  asked    200  200  403  403  403  403  403  403  403  403
GET    /api/audit/verify                   audit  platform 200  200  403  403  403  403  403  403  403  403
GET    /api/audit/usage                    audit  platform 200  200  403  403  403  403  403  403  403  403
POST   /api/accounts/{account}/test        config platform 200  200  403  403  403  403  403  403  403  403
POST   /api/proxies/{proxy}/test           config platform 200  200  403  403  403  403  403  403  403  403
POST   /api/config/apply                   config platform 200  200  403  403  403  403  403  403  403  403
GET    /api/price-list                     config platform 200  200  403  403  403  403  403  403  403  403
GET    /api/config/export                  config platform 200  200  403  403  403  403  403  403  403  403

GET    /api/teams                          config own      200  200  403  403  403  200  200  403  403  403
GET    /api/teams                          config asked    200  200  403  403  403  403  403  403  403  403
GET    /api/teams/{name}                   config named    404  404  403  403  403  404  404  403  403  403
PUT    /api/teams/{name}                   config own      200  200  403  403  403  200  200  403  403  403
PUT    /api/teams/{name}                   config asked    200  200  403  403  403  403  403  403  403  403
DELETE /api/teams/{name}                   config own      200  200  403  403  403  200  200  403  403  403
POST   /api/teams/{name}/adopt             config own      200  200  403  403  403  200  200  403  403  403
GET    /api/limits                         config own      200  200  200  403  200  200  200  200  403  200
GET    /api/limits                         config asked    200  200  403  403  403  403  403  403  403  403
GET    /api/limits/{name}                  config own      200  200  200  403  200  200  200  200  403  200
GET    /api/limits/{name}                  config named    404  404  404  403  404  404  404  404  403  404
PUT    /api/limits/{name}                  config own      200  200  200  403  403  200  200  200  403  403
PUT    /api/limits/{name}                  config asked    200  200  403  403  403  403  403  403  403  403
DELETE /api/limits/{name}                  config own      200  200  200  403  403  200  200  200  403  403
POST   /api/limits/{name}/adopt            config own      200  200  200  403  403  200  200  200  403  403
GET    /api/combos                         config platform 200  200  403  403  403  200  200  403  403  403
PUT    /api/combos/{name}                  config platform 200  200  403  403  403  403  403  403  403  403
DELETE /api/combos/{name}                  config platform 200  200  403  403  403  403  403  403  403  403
GET    /api/organisations                  config own      200  200  403  403  403  200  200  403  403  403
PUT    /api/organisations/{name}           config platform 200  200  403  403  403  403  403  403  403  403
DELETE /api/organisations/{name}           config platform 200  200  403  403  403  403  403  403  403  403
"""

# Callers of the surfaces: ``endpoint``, ``provider`` and ``model`` are keys whose scopes have others than this one,
# ``guest`` one of another organisation than the platform's. Providers and models are the platform's, and serve all.
EDGE_CALLERS = (
    "none", "wrong", "elsewhere", "endpoint", "provider", "model", "developer", "reader", "admin", "guest",
)  # fmt: skip

EDGE = """
                                                                 none wrng away endp prov modl dev  read admn gst
GET    /v1                                          -            200  200  200  200  200  200  200  200  200  200
GET    /openapi.json                                -            200  200  200  200  200  200  200  200  200  200
GET    /healthz                                     -            200  200  200  200  200  200  200  200  200  200
GET    /readyz                                      -            200  200  200  200  200  200  200  200  200  200
GET    /metrics                                     -            200  200  200  200  200  200  200  200  200  200

POST   /v1/chat/completions                         chat         401  401  403  403  403  403  200  200  200  200
POST   /v1/responses                                responses    401  401  403  403  403  403  200  200  200  200
POST   /v1/messages                                 messages     401  401  403  403  403  403  200  200  200  200
POST   /api/chat                                    ollama       401  401  403  403  403  403  200  200  200  200
POST   /v1beta/models/{model}:generateContent       gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1beta/models/{model}:streamGenerateContent gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1/models/{model}:generateContent           gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1/models/{model}:streamGenerateContent     gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1beta/{model}:generateContent              gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1beta/{model}:streamGenerateContent        gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1/{model}:generateContent                  gemini       401  401  403  403  403  403  200  200  200  200
POST   /v1/{model}:streamGenerateContent            gemini       401  401  403  403  403  403  200  200  200  200

POST   /v1/responses/input_tokens                   count_tokens 401  401  403  403  403  403  200  200  200  200
POST   /v1/messages/count_tokens                    count_tokens 401  401  403  403  403  403  200  200  200  200
POST   /v1beta/models/{model}:countTokens           count_tokens 401  401  403  403  403  403  200  200  200  200
POST   /v1/models/{model}:countTokens               count_tokens 401  401  403  403  403  403  200  200  200  200
POST   /v1beta/{model}:countTokens                  count_tokens 401  401  403  403  403  403  200  200  200  200
POST   /v1/{model}:countTokens                      count_tokens 401  401  403  403  403  403  200  200  200  200

GET    /v1/models                                   models       401  401  403  403  200  200  200  200  200  200
GET    /v1beta/models                               models       401  401  403  403  200  200  200  200  200  200
GET    /api/tags                                    models       401  401  403  403  200  200  200  200  200  200
GET    /v1/models/{model}                           models       401  401  403  403  404  404  200  200  200  200
GET    /v1beta/models/{model}                       models       401  401  403  403  404  404  200  200  200  200
"""


def management() -> list[Line]:
    return [
        Line(line.route.replace("{own}", own).replace("{platform}", platform), *line[1:])
        for line in _lines(MANAGEMENT, MANAGEMENT_CALLERS, whose=True)
        for own in (OWN_KINDS if "{own}" in line.route else ("",))
        for platform in (PLATFORM_KINDS if "{platform}" in line.route else ("",))
    ]


def people() -> list[Line]:
    return _lines(PEOPLE, PEOPLE_CALLERS, whose=True)


def edge() -> list[Line]:
    return _lines(EDGE, EDGE_CALLERS, whose=False)


def _lines(table: str, callers: tuple[str, ...], *, whose: bool) -> list[Line]:
    found = []
    for words in (text.split() for text in table.splitlines()[2:] if text.strip()):
        method, path, area, *rest = words
        told = rest.pop(0) if whose else "-"
        outcomes = dict(zip(callers, map(int, rest), strict=True))
        found.append(Line(f"{method} {path}", area, told, outcomes))
    return found
