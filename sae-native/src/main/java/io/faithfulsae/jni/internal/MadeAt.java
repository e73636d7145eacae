package io.faithfulsae.jni.internal;

import java.lang.StackWalker.StackFrame;
import java.util.Iterator;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Where a native object was made: the first caller outside the classes that hand such objects out,
 * who has to close it; and if that is this library as well, the program that called it. Costs a few
 * microseconds, where a whole stack trace costs tens.
 *
 * @param owner null if no other class was on the stack
 * @param program null if it is the owner, or there is none
 */
record MadeAt(@Nullable StackFrame owner, @Nullable StackFrame program) {
  private static final String LIBRARY = "io.faithfulsae";

  /** Packages whose objects belong to their caller. */
  private static final Set<String> FACTORIES =
      Set.of(LIBRARY, LIBRARY + ".internal", LIBRARY + ".spi", LIBRARY + ".jni.internal");

  private static final StackWalker WALKER = StackWalker.getInstance();

  static MadeAt here() {
    return WALKER.walk(MadeAt::of);
  }

  private static MadeAt of(Stream<StackFrame> stack) {
    StackFrame owner = null;
    for (Iterator<StackFrame> frames = stack.iterator(); frames.hasNext(); ) {
      StackFrame frame = frames.next();
      String name = frame.getClassName();
      if (owner == null && !FACTORIES.contains(packageOf(name))) {
        owner = frame;
      }
      if (owner != null && !name.startsWith(LIBRARY + ".")) {
        return new MadeAt(owner, frame == owner ? null : frame);
      }
    }
    return new MadeAt(owner, null);
  }

  private static String packageOf(String className) {
    return className.substring(0, Math.max(0, className.lastIndexOf('.')));
  }

  /** As in {@code com.acme.Index.build(Index.java:42)}. */
  @Override
  public String toString() {
    return program == null ? String.valueOf(owner) : owner + ", called from " + program;
  }
}
