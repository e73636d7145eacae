package io.faithfulsae.cli.console;

import io.faithfulsae.study.work.WorkListener;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Handles Ctrl-C (SIGINT) and SIGTERM.
 *
 * <p>A shutdown hook is unsuitable: the hooks of all libraries run concurrently, and ONNX Runtime's
 * frees its environment while training still reads activations from it. Instead, the signal itself
 * is handled: training is asked to stop, keeps its checkpoint, and the process then exits normally.
 * A second signal, or one while there is nothing to keep, ends the process at once.
 */
public final class Interrupts {
  /** The exit code after such a stop, by shell convention. */
  public static final int EXIT_CODE = 130;

  private static final AtomicReference<@Nullable Runnable> STOP = new AtomicReference<>();
  private static final AtomicBoolean RECEIVED = new AtomicBoolean();

  private Interrupts() {}

  /** Calls {@code stop} on another thread when the user asks to stop. */
  public static WorkListener.Registration onStop(Runnable stop) {
    STOP.set(stop);
    return () -> STOP.compareAndSet(stop, null);
  }

  /** Whether the user has asked to stop. */
  public static boolean received() {
    return RECEIVED.get();
  }

  /**
   * Installs the handlers, if the JDK supports it ({@code jdk.unsupported}, so far in every JDK).
   */
  public static void install() {
    try {
      // By reflection: javac's warning about sun.misc cannot be suppressed, and warnings are errors
      // here.
      Class<?> signal = Class.forName("sun.misc.Signal");
      Class<?> handler = Class.forName("sun.misc.SignalHandler");
      Object ours =
          Proxy.newProxyInstance(
              handler.getClassLoader(),
              new Class<?>[] {handler},
              (proxy, method, args) -> answer(proxy, method, args));
      Method handle = signal.getMethod("handle", signal, handler);
      for (String name : new String[] {"INT", "TERM"}) {
        handle.invoke(null, signal.getConstructor(String.class).newInstance(name), ours);
      }
    } catch (ReflectiveOperationException e) {
      System.getLogger(Interrupts.class.getName())
          .log(
              System.Logger.Level.DEBUG,
              "Ctrl-C ends the process at once: signal handling is unavailable",
              e);
    }
  }

  private static @Nullable Object answer(Object proxy, Method method, Object[] args) {
    return switch (method.getName()) {
      case "handle" -> {
        received(STOP.getAndSet(null));
        yield null;
      }
      case "equals" -> proxy == args[0];
      case "hashCode" -> System.identityHashCode(proxy);
      default -> "Interrupts";
    };
  }

  private static void received(@Nullable Runnable stop) {
    RECEIVED.set(true);
    if (stop == null) {
      Runtime.getRuntime().halt(EXIT_CODE);
    } else {
      stop.run();
    }
  }
}
