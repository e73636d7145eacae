package io.faithfulsae.io;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** A short SHA-256 that identifies data in provenance records. */
public final class Fingerprint {
  private final MessageDigest digest;

  /** Creates an empty fingerprint. */
  public Fingerprint() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }

  /** Adds what remains of a buffer, whose position is not changed. */
  public Fingerprint add(ByteBuffer bytes) {
    digest.update(bytes.duplicate());
    return this;
  }

  /** Adds text. */
  public Fingerprint add(String text) {
    return add(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
  }

  /** The first 16 hexadecimal digits; nothing can be added after this call. */
  public String hex() {
    return HexFormat.of().formatHex(digest.digest(), 0, 8);
  }
}
