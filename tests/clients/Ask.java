import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.*;
import java.util.*;
import javax.net.ssl.*;

/** Calls servers as Java does: a line of stdin is "port, name, file of roots, file of lists or -". */
class Ask {
    public static void main(String[] none) throws Exception {
        for (String line : new BufferedReader(new InputStreamReader(System.in)).lines().toList()) {
            String[] job = line.split("\t");
            try {
                ask(Integer.parseInt(job[0]), job[1], Path.of(job[2]), job[3]);
                System.out.println("accepts");
            } catch (Exception error) {
                System.out.println("refuses " + String.valueOf(error).replaceAll("\\s+", " "));
            }
        }
    }

    static void ask(int port, String name, Path roots, String lists) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream file = Files.newInputStream(roots)) {
            for (Certificate root : factory.generateCertificates(file))
                trusted.setCertificateEntry("root" + trusted.size(), root);
        }
        PKIXBuilderParameters wanted = new PKIXBuilderParameters(trusted, new X509CertSelector());
        wanted.setRevocationEnabled(!lists.equals("-"));
        if (wanted.isRevocationEnabled()) {
            Collection<? extends CRL> held;
            try (InputStream file = Files.newInputStream(Path.of(lists))) {
                held = factory.generateCRLs(file);
            }
            wanted.addCertStore(
                CertStore.getInstance("Collection", new CollectionCertStoreParameters(held)));
            PKIXRevocationChecker checker =
                (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
            checker.setOptions(EnumSet.of(PKIXRevocationChecker.Option.PREFER_CRLS,
                PKIXRevocationChecker.Option.NO_FALLBACK));
            wanted.addCertPathChecker(checker);
        }
        TrustManagerFactory managers = TrustManagerFactory.getInstance("PKIX");
        managers.init(new CertPathTrustManagerParameters(wanted));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, managers.getTrustManagers(), null);
        Socket plain = new Socket("127.0.0.1", port);
        plain.setSoTimeout(5000);
        try (SSLSocket socket =
            (SSLSocket) context.getSocketFactory().createSocket(plain, name, port, true)) {
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            socket.setSSLParameters(parameters);
            socket.startHandshake();
        }
    }
}
