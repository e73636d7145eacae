package io.faithfulsae;

import io.faithfulsae.api.ApiListing;
import io.faithfulsae.api.ApiSurface;
import java.io.IOException;
import org.junit.jupiter.api.Test;

final class ApiSurfaceTest {
  private final ApiListing api = ApiListing.ofModuleWith(Sae.class);

  /**
   * 35 for training and the first metrics; each further metric of the study is one record, and
   * shards and synthetic features are three each.
   */
  @Test
  void staysSmall() {
    ApiSurface.assertAtMost(55, api);
  }

  @Test
  void isWhatTheListingSays() throws IOException {
    ApiSurface.assertUnchanged(api);
  }
}
