# part: before
# part: configurator-runs
# A Server Configurator that works binds a certificate after this script has taken it away.
function Step-NoConfigurator {
    if (Test-ConfiguratorRuns) {
        throw 'A Server Configurator is running on this computer: nothing is changed.'
    }
    'no Server Configurator is running'
}
