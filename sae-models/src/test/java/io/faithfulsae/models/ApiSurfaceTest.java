package io.faithfulsae.models;

import io.faithfulsae.api.ApiListing;
import io.faithfulsae.api.ApiSurface;
import java.io.IOException;
import org.junit.jupiter.api.Test;

final class ApiSurfaceTest {

  @Test
  void isWhatTheListingSays() throws IOException {
    ApiSurface.assertUnchanged(ApiListing.ofModuleWith(OnnxModel.class));
  }
}
