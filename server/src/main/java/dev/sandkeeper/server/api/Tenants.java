package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.TenantId;

/** Which tenant a call is about. */
final class Tenants {
  private Tenants() {}

  /** Returns the tenant asked for, or the caller's own; another one needs the scope admin. */
  static TenantId asked(Principal principal, String tenantId) {
    return principal.tenantOr(Attributions.given(tenantId).map(TenantId::new));
  }
}
