# ruff: noqa: E501
"""Keys and tokens that begin in a way of their own. Made by ``scripts/prefix_rules.py``; do not edit.

The expressions are those of gitleaks (github.com/gitleaks/gitleaks), under this notice:

    MIT License. Copyright (c) 2019 Zachary Rice

    Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
    documentation files (the "Software"), to deal in the Software without restriction, including without limitation
    the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
    to permit persons to whom the Software is furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all copies or substantial portions of
    the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
    THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
    AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
    CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
    IN THE SOFTWARE.
"""

from __future__ import annotations

from typing import Final

__all__ = ["PREFIXES"]

# fmt: off
PREFIXES: Final[tuple[tuple[str, str, str, str, float], ...]] = (
    # name, core, left, right, least entropy in bits a character
    ('1password-secret-key', 'A3-[A-Z0-9]{6}-(?:(?:[A-Z0-9]{11})|(?:[A-Z0-9]{6}-[A-Z0-9]{5}))-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}', '\\w', '\\w', 3.8),
    ('1password-service-account-token', 'ops_eyJ[a-wyz][a-zA-Z0-9+/]{249,}={0,3}', '0-9A-Za-z', '', 0.0),
    ('adobe-client-secret', 'p8e-(?i:[a-z0-9]{32})', '\\w', '\\w', 2.0),
    ('age-secret-key', 'AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}', '0-9A-Za-z', '', 0.0),
    ('airtable-personnal-access-token', 'pat[0-9A-Za-z]{14}\\.[a-f0-9]{64}', '\\w', '\\w', 0.0),
    ('alibaba-access-key-id', 'LTAI(?i:[a-z0-9]{20})', '\\w', '\\w', 2.0),
    ('anthropic-admin-api-key', 'sk-ant-admin01-[a-zA-Z0-9_\\-]{93}AA', '\\w', '\\w', 0.0),
    ('anthropic-api-key', 'sk-ant-api03-[a-zA-Z0-9_\\-]{93}AA', '\\w', '\\w', 0.0),
    ('artifactory-api-key', 'AKCp[A-Za-z0-9]{69}', '\\w', '\\w', 4.5),
    ('artifactory-reference-token', 'cmVmd[A-Za-z0-9]{59}', '\\w', '\\w', 4.5),
    ('authress-service-client-access-key', '(?:sc|ext|scauth|authress)_(?i:[a-z0-9]{5,30}\\.[a-z0-9]{4,6}\\.(?:acc)[_-][a-z0-9-]{10,32}\\.[a-z0-9+/_=-]{30,})', '\\w', '', 0.0),
    ('aws-access-token', '(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}', '\\w', '\\w', 3.0),
    ('aws-amazon-bedrock-api-key-long-lived', 'ABSK[A-Za-z0-9+/]{109,}={0,2}', '\\w', '', 0.0),
    ('aws-amazon-bedrock-api-key-short-lived', 'bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t', '0-9A-Za-z', '', 3.0),
    ('clickhouse-cloud-api-secret-key', '4b1d[A-Za-z0-9]{38}', '\\w', '\\w', 3.0),
    ('clojars-api-token', '(?i)CLOJARS_[a-z0-9]{60}', '0-9A-Za-z', '', 2.0),
    ('cloudflare-origin-ca-key', 'v1\\.0-[a-f0-9]{24}-[a-f0-9]{146}', '\\w', '\\w', 2.0),
    ('databricks-api-token', 'dapi[a-f0-9]{32}(?:-\\d)?', '\\w', '\\w', 3.0),
    ('digitalocean-access-token', 'doo_v1_[a-f0-9]{64}', '\\w', '\\w', 3.0),
    ('digitalocean-pat', 'dop_v1_[a-f0-9]{64}', '\\w', '\\w', 3.0),
    ('digitalocean-refresh-token', '(?i)dor_v1_[a-f0-9]{64}', '\\w', '\\w', 0.0),
    ('doppler-api-token', 'dp\\.pt\\.(?i:[a-z0-9]{43})', '0-9A-Za-z', '', 2.0),
    ('duffel-api-token', 'duffel_(?:test|live)_(?i:[a-z0-9_\\-=]{43})', '0-9A-Za-z', '', 2.0),
    ('dynatrace-api-token', 'dt0c01\\.(?i:[a-z0-9]{24}\\.[a-z0-9]{64})', '0-9A-Za-z', '', 4.0),
    ('easypost-api-token', 'EZAK(?i:[a-z0-9]{54})', '\\w', '\\w', 2.0),
    ('easypost-test-api-token', 'EZTK(?i:[a-z0-9]{54})', '\\w', '\\w', 2.0),
    ('facebook-page-access-token', 'EAA[MC](?i:[a-z0-9]{100,})', '\\w', '', 0.0),
    ('flutterwave-encryption-key', 'FLWSECK_TEST-(?i:[a-h0-9]{12})', '0-9A-Za-z', '', 2.0),
    ('flutterwave-public-key', 'FLWPUBK_TEST-(?i:[a-h0-9]{32}-X)', '0-9A-Za-z', '', 2.0),
    ('flutterwave-secret-key', 'FLWSECK_TEST-(?i:[a-h0-9]{32}-X)', '0-9A-Za-z', '', 2.0),
    ('flyio-access-token', '(?:fo1_[\\w-]{43}|fm1[ar]_[a-zA-Z0-9+\\/]{100,}={0,3}|fm2_[a-zA-Z0-9+\\/]{100,}={0,3}|FlyV1 [A-Za-z0-9=_\\-,/+]{100,})', '\\w', '', 0.0),
    ('frameio-api-token', 'fio-u-(?i:[a-z0-9\\-_=]{64})', '0-9A-Za-z', '', 0.0),
    ('gcp-api-key', 'AIza[\\w-]{35}', '\\w', '\\w', 4.0),
    ('github-app-token', '(?:ghu|ghs)_[0-9a-zA-Z]{36}', '0-9A-Za-z', '', 3.0),
    ('github-fine-grained-pat', 'github_pat_\\w{82}', '0-9A-Za-z', '', 3.0),
    ('github-oauth', 'gho_[0-9a-zA-Z]{36}', '0-9A-Za-z', '', 3.0),
    ('github-pat', 'ghp_[0-9a-zA-Z]{36}', '0-9A-Za-z', '', 3.0),
    ('github-refresh-token', 'ghr_[0-9a-zA-Z]{36}', '0-9A-Za-z', '', 3.0),
    ('gitlab-cicd-job-token', 'glcbt-[0-9a-zA-Z]{1,5}_[0-9a-zA-Z_-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-deploy-token', 'gldt-[0-9a-zA-Z_\\-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-feature-flag-client-token', 'glffct-[0-9a-zA-Z_\\-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-feed-token', 'glft-[0-9a-zA-Z_\\-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-incoming-mail-token', 'glimt-[0-9a-zA-Z_\\-]{25}', '0-9A-Za-z', '', 3.0),
    ('gitlab-kubernetes-agent-token', 'glagent-[0-9a-zA-Z_\\-]{50}', '0-9A-Za-z', '', 3.0),
    ('gitlab-oauth-app-secret', 'gloas-[0-9a-zA-Z_\\-]{64}', '0-9A-Za-z', '', 3.0),
    ('gitlab-pat', 'glpat-[\\w-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-pat-routable', 'glpat-[0-9a-zA-Z_-]{27,300}\\.[0-9a-z]{2}[0-9a-z]{7}', '\\w', '\\w', 4.0),
    ('gitlab-ptt', 'glptt-[0-9a-f]{40}', '0-9A-Za-z', '', 3.0),
    ('gitlab-rrt', 'GR1348941[\\w-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-runner-authentication-token', 'glrt-[0-9a-zA-Z_\\-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-runner-authentication-token-routable', 'glrt-t\\d_[0-9a-zA-Z_\\-]{27,300}\\.[0-9a-z]{2}[0-9a-z]{7}', '\\w', '\\w', 4.0),
    ('gitlab-scim-token', 'glsoat-[0-9a-zA-Z_\\-]{20}', '0-9A-Za-z', '', 3.0),
    ('gitlab-session-cookie', '_gitlab_session=[0-9a-z]{32}', '0-9A-Za-z', '', 3.0),
    ('grafana-api-key', '(?i)eyJrIjoi[A-Za-z0-9]{70,}={0,3}', '\\w', '', 0.0),
    ('grafana-cloud-api-token', 'glc_eyJ[A-Za-z0-9+/]{29,}={0,3}', '\\w', '', 0.0),
    ('grafana-service-account-token', '(?i)glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}', '\\w', '\\w', 3.0),
    ('harness-api-key', '(?:pat|sat)\\.[a-zA-Z0-9_-]{22}\\.[a-zA-Z0-9]{24}\\.[a-zA-Z0-9]{20}', '0-9A-Za-z', '', 0.0),
    ('heroku-api-key-v2', '(HRKU-AA[0-9a-zA-Z_-]{58})', '\\w', '\\w', 4.0),
    ('huggingface-access-token', 'hf_(?i:[a-z]{34})', '\\w', '\\w', 2.0),
    ('huggingface-organization-api-token', 'api_org_(?i:[a-z]{34})', '\\w', '\\w', 2.0),
    ('infracost-api-token', 'ico-[a-zA-Z0-9]{32}', '\\w.', '\\w', 3.0),
    ('intra42-client-secret', 's-s4t2(?:ud|af)-(?i:[abcdef0123456789]{64})', '\\w', '\\w', 3.0),
    ('jwt-base64', 'ZXlK(?:(?P<alg>aGJHY2lPaU)|(?P<apu>aGNIVWlPaU)|(?P<apv>aGNIWWlPaU)|(?P<aud>aGRXUWlPaU)|(?P<b64>aU5qUWlP)|(?P<crit>amNtbDBJanBi)|(?P<cty>amRIa2lPaU)|(?P<epk>bGNHc2lPbn)|(?P<enc>bGJtTWlPaU)|(?P<jku>cWEzVWlPaU)|(?P<jwk>cWQyc2lPb)|(?P<iss>cGMzTWlPaU)|(?P<iv>cGRpSTZJ)|(?P<kid>cmFXUWlP)|(?P<key_ops>clpYbGZiM0J6SWpwY)|(?P<kty>cmRIa2lPaUp)|(?P<nonce>dWIyNWpaU0k2)|(?P<p2c>d01tTWlP)|(?P<p2s>d01uTWlPaU)|(?P<ppt>d2NIUWlPaU)|(?P<sub>emRXSWlPaU)|(?P<svt>emRuUWlP)|(?P<tag>MFlXY2lPaU)|(?P<typ>MGVYQWlPaUp)|(?P<url>MWNtd2l)|(?P<use>MWMyVWlPaUp)|(?P<ver>MlpYSWlPaU)|(?P<version>MlpYSnphVzl1SWpv)|(?P<x>NElqb2)|(?P<x5c>NE5XTWlP)|(?P<x5t>NE5YUWlPaU)|(?P<x5ts256>NE5YUWpVekkxTmlJNkl)|(?P<x5u>NE5YVWlPaU)|(?P<zip>NmFYQWlPaU))[a-zA-Z0-9\\/\\\\_+\\-\\r\\n]{40,}={0,2}', '\\w', '', 0.0),
    ('linear-api-key', 'lin_api_(?i:[a-z0-9]{40})', '0-9A-Za-z', '', 2.0),
    ('microsoft-teams-webhook', 'https://[a-z0-9]+\\.webhook\\.office\\.com/webhookb2/[a-z0-9]{8}-([a-z0-9]{4}-){3}[a-z0-9]{12}@[a-z0-9]{8}-([a-z0-9]{4}-){3}[a-z0-9]{12}/IncomingWebhook/[a-z0-9]{32}/[a-z0-9]{8}-([a-z0-9]{4}-){3}[a-z0-9]{12}', '0-9A-Za-z', '', 0.0),
    ('notion-api-token', 'ntn_[0-9]{11}[A-Za-z0-9]{32}[A-Za-z0-9]{3}', '\\w', '\\w', 4.0),
    ('npm-access-token', '(?i)npm_[a-z0-9]{36}', '\\w', '\\w', 2.0),
    ('octopus-deploy-api-key', 'API-[A-Z0-9]{26}', '\\w', '\\w', 3.0),
    ('openai-api-key', 'sk-(?:proj|svcacct|admin)-(?:[A-Za-z0-9_-]{74}|[A-Za-z0-9_-]{58})T3BlbkFJ(?:[A-Za-z0-9_-]{74}|[A-Za-z0-9_-]{58})|sk-[a-zA-Z0-9]{20}T3BlbkFJ[a-zA-Z0-9]{20}', '\\w', '\\w', 3.0),
    ('openshift-user-token', 'sha256~[\\w-]{43}', '\\w', '\\w', 3.5),
    ('perplexity-api-key', 'pplx-[a-zA-Z0-9]{48}', '\\w', '\\w', 4.0),
    ('planetscale-api-token', 'pscale_tkn_(?i:[\\w=\\.-]{32,64})', '\\w', '\\w', 3.0),
    ('planetscale-oauth-token', 'pscale_oauth_[\\w=\\.-]{32,64}', '\\w', '\\w', 3.0),
    ('planetscale-password', '(?i)pscale_pw_(?i:[\\w=\\.-]{32,64})', '\\w', '\\w', 3.0),
    ('postman-api-token', 'PMAK-(?i:[a-f0-9]{24}\\-[a-f0-9]{34})', '\\w', '\\w', 3.0),
    ('prefect-api-token', 'pnu_[a-zA-Z0-9]{36}', '\\w', '\\w', 2.0),
    ('pulumi-api-token', 'pul-[a-f0-9]{40}', '\\w', '\\w', 2.0),
    ('pypi-upload-token', 'pypi-AgEIcHlwaS5vcmc[\\w-]{50,}', '0-9A-Za-z', '', 0.0),
    ('readme-api-token', 'rdme_[a-z0-9]{70}', '\\w', '\\w', 2.0),
    ('rubygems-api-token', 'rubygems_[a-f0-9]{48}', '\\w', '\\w', 2.0),
    ('scalingo-api-token', 'tk-us-[\\w-]{48}', '\\w', '\\w', 2.0),
    ('sendgrid-api-token', 'SG\\.(?i:[a-z0-9=_\\-\\.]{66})', '\\w', '\\w', 2.0),
    ('sendinblue-api-token', 'xkeysib-[a-f0-9]{64}\\-(?i:[a-z0-9]{16})', '\\w', '\\w', 2.0),
    ('sentry-org-token', 'sntrys_eyJpYXQiO[a-zA-Z0-9+/]{10,}(?:LCJyZWdpb25fdXJs|InJlZ2lvbl91cmwi|cmVnaW9uX3VybCI6)[a-zA-Z0-9+/]{10,}={0,2}_[a-zA-Z0-9+/]{43}', '\\w', '\\w', 0.0),
    ('sentry-user-token', 'sntryu_[a-f0-9]{64}', '\\w', '\\w', 3.5),
    ('settlemint-application-access-token', 'sm_aat_[a-zA-Z0-9]{16}', '\\w', '\\w', 3.0),
    ('settlemint-personal-access-token', 'sm_pat_[a-zA-Z0-9]{16}', '\\w', '\\w', 3.0),
    ('settlemint-service-access-token', 'sm_sat_[a-zA-Z0-9]{16}', '\\w', '\\w', 3.0),
    ('shippo-api-token', 'shippo_(?:live|test)_[a-fA-F0-9]{40}', '\\w', '\\w', 2.0),
    ('shopify-access-token', 'shpat_[a-fA-F0-9]{32}', '0-9A-Za-z', '', 2.0),
    ('shopify-custom-access-token', 'shpca_[a-fA-F0-9]{32}', '0-9A-Za-z', '', 2.0),
    ('shopify-private-app-access-token', 'shppa_[a-fA-F0-9]{32}', '0-9A-Za-z', '', 2.0),
    ('shopify-shared-secret', 'shpss_[a-fA-F0-9]{32}', '0-9A-Za-z', '', 2.0),
    ('slack-app-token', '(?i)xapp-\\d-[A-Z0-9]+-\\d+-[a-z0-9]+', '0-9A-Za-z', '', 0.0),
    ('slack-bot-token', 'xoxb-[0-9]{10,13}-[0-9]{10,13}[a-zA-Z0-9-]*', '0-9A-Za-z', '', 0.0),
    ('slack-config-access-token', '(?i)xoxe.xox[bp]-\\d-[A-Z0-9]{163,}', '0-9A-Za-z', '', 0.0),
    ('slack-config-refresh-token', '(?i)xoxe-\\d-[A-Z0-9]{146}', '0-9A-Za-z', '', 2.0),
    ('slack-legacy-bot-token', 'xoxb-[0-9]{8,14}-[a-zA-Z0-9]{18,26}', '0-9A-Za-z', '', 2.0),
    ('slack-legacy-token', 'xox[os]-\\d+-\\d+-\\d+-[a-fA-F\\d]+', '0-9A-Za-z', '', 0.0),
    ('slack-legacy-workspace-token', 'xox[ar]-(?:\\d-)?[0-9a-zA-Z]{8,48}', '0-9A-Za-z', '', 2.0),
    ('slack-user-token', 'xox[pe](?:-[0-9]{10,13}){3}-[a-zA-Z0-9-]{28,34}', '0-9A-Za-z', '', 2.0),
    ('slack-webhook-url', '(?:https?://)?hooks.slack.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{43,56}', '0-9A-Za-z', '', 0.0),
    ('square-access-token', '(?:EAAA|sq0atp-)[\\w-]{22,60}', '\\w', '\\w', 2.0),
    ('stripe-access-token', '(?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99}', '\\w', '\\w', 2.0),
    ('twilio-api-key', 'SK[0-9a-fA-F]{32}', '0-9A-Za-z', '', 3.0),
    ('vault-batch-token', 'hvb\\.[\\w-]{138,}', '\\w', '', 0.0),
    ('vault-service-token', 'hvs\\.[A-Z0-9][\\w-]{89,}', '\\w', '', 0.0),
)
