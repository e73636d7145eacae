package io.faithfulsae.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Assertions on a module's public API, for the {@code ApiSurfaceTest} of each module. */
public final class ApiSurface {
  private ApiSurface() {}

  /**
   * Compares the module's API with the committed listing {@code api/MODULE.txt}; with {@code
   * -Dapi.update=true} writes that listing instead.
   */
  public static void assertUnchanged(ApiListing api) throws IOException {
    Path listing = api.module().resolveSibling("api").resolve(api.module().getFileName() + ".txt");
    List<String> lines = api.lines();
    if (Boolean.getBoolean("api.update")) {
      Files.createDirectories(listing.getParent());
      Files.write(listing, lines);
    }
    assertTrue(Files.exists(listing), () -> listing + " is missing; " + remedy(api));
    assertEquals(
        String.join("\n", Files.readAllLines(listing)),
        String.join("\n", lines),
        () -> "the public API differs from " + listing + "; if that is intended, " + remedy(api));
  }

  /** Asserts that there are at most {@code limit} public top-level types. */
  public static void assertAtMost(int limit, ApiListing api) {
    List<String> types = api.topLevelTypes();
    assertTrue(
        types.size() <= limit,
        () ->
            "expected at most "
                + limit
                + " public top-level types, got "
                + types.size()
                + "; nest one or move it to an internal package: "
                + types);
  }

  private static String remedy(ApiListing api) {
    return "regenerate and commit it: mvn -pl "
        + api.module().getFileName()
        + " -am test -Dtest=ApiSurfaceTest -Dsurefire.failIfNoSpecifiedTests=false"
        + " -Dapi.update=true";
  }
}
