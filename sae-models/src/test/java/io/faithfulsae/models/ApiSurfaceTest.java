package io.faithfulsae.models;

import io.faithfulsae.api.ApiListing;
import io.faithfulsae.api.ApiSurface;
import java.io.IOException;
import org.junit.jupiter.api.Test;

final class ApiSurfaceTest {
  private final ApiListing api = ApiListing.ofModuleWith(OnnxModel.class);

  @Test
  void staysSmall() {
    ApiSurface.assertAtMost(29, api);
  }

  @Test
  void isWhatTheListingSays() throws IOException {
    ApiSurface.assertUnchanged(api);
  }
}
